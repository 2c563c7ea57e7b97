"""What happens beside the jobs: before planning, before the first job, and after a failure."""

from campfire.runs.failures import show_failures
from campfire.runs.guard import guard, show_plan_at_exit
from campfire.runs.planning import look_around

show_plan_at_exit(workflow, run)
look_around(workflow)


onstart:
    guard(workflow, run)


onerror:
    show_failures(workflow, run)
