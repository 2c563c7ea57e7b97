"""The targets that can be requested by name."""


localrules:
    all,
    metadata,
    split,
    tiles,
    pretrain,
    embeddings,
    probes,
    tables,
    figures,
    page,
    report,
    bundle,


rule metadata:
    """JUMP's tables of plates, wells and compounds."""
    input:
        [run.files.metadata(table) for table in run.config.metadata],


rule split:
    """The split: training and test wells."""
    input:
        run.files.wells,


rule tiles:
    """Tiles of every plate: download, nuclei, contact sheet, 112x112 cuts."""
    input:
        [run.files.tiles(plate) for plate in run.all_plates],
        [run.files.tile_index(plate) for plate in run.all_plates],
        run.contact_sheets,


rule pretrain:
    """The pretraining runs that encoders use."""
    input:
        [run.files.pretrained(name) for name in run.pretraining_runs],
        run.contact_sheets,


rule embeddings:
    """Embeddings of every encoder on every channel set, and of the transfer screen."""
    input:
        [path for pair in run.pairs for path in run.embeddings(*pair)],
        [path for e in run.transfer_encoders for path in run.transfer_embeddings(e)],
        run.contact_sheets,


rule probes:
    """Scores and predictions of the linear probes."""
    input:
        [run.files.probe_scores(*pair) for pair in run.pairs],


rule tables:
    """All tables."""
    input:
        results.table_files,


rule figures:
    """All figures."""
    input:
        results.figure_files,


rule page:
    """The page to browse, in a browser: results/.../page/index.html."""
    input:
        run.files.page,


rule report:
    """Tables, figures and the page of findings; `make report` makes one file of them."""
    input:
        results.table_files,
        results.figure_files,
        results.findings,


rule bundle:
    """One archive of everything behind the tables and figures."""
    input:
        run.files.bundle,
