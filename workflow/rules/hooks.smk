"""What happens beside the jobs: before planning, before the first job, and after a success or failure."""

from campfire.runs.failures import show_failures
from campfire.runs.guard import guard, show_at_exit
from campfire.runs.made import show_made
from campfire.runs.planning import look_ahead, look_around, look_for_targets
from campfire.runs.provenance_file import follow
from campfire.runs.run_record import begin_record, end_record
from campfire.runs.submission import check_submission, lift_job_rate

look_around(workflow)
look_for_targets(workflow, run)
look_ahead(workflow, run)
show_at_exit(workflow, run)


onstart:
    guard(workflow, run)
    check_submission(workflow)
    lift_job_rate(workflow)
    begin_record(workflow, run)


onsuccess:
    follow(workflow, results)
    end_record(workflow, run, succeeded=True)
    show_made(workflow, run)


onerror:
    end_record(workflow, run, succeeded=False)
    show_failures(workflow, run)
