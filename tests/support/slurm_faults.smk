"""Jobs that go wrong in their first attempt; in the second they need what a scaled request gives them."""


rule all:
    input:
        "memory.txt",
        "time.txt",
        "cancelled.txt",


rule memory:
    output:
        "memory.txt",
    resources:
        mem_mb=lambda wildcards, attempt: 600 * attempt**2,
        seconds=lambda wildcards, attempt: 300 if attempt == 1 else 1,
    shell:
        "python3 -c \"import time; block = b'1' * (900 << 20); time.sleep({resources.seconds})\" && echo done > {output}"


rule time:
    output:
        "time.txt",
    resources:
        runtime=lambda wildcards, attempt: 1 + 4 * (attempt - 1),
        seconds=lambda wildcards, attempt: 300 if attempt == 1 else 0,
    shell:
        "echo half > {output} && sleep {resources.seconds} && echo done > {output}"


rule cancelled:
    output:
        "cancelled.txt",
    resources:
        seconds=lambda wildcards, attempt: 300 if attempt == 1 else 0,
    shell:
        "echo half > {output} && sleep {resources.seconds} && echo done > {output}"
