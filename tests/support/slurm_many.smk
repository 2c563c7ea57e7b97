"""As many jobs that take no time as the config says, for tests and measurements of submission."""

NUMBERS = range(int(config["jobs"]))


rule all:
    input:
        expand("made/{number}.txt", number=NUMBERS),


rule one:
    output:
        "made/{number}.txt",
    shell:
        "echo done > {output}"
