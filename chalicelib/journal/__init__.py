"""The journal: a copy of every accepted record and delivery that outlives both stores.

Files are written once and named for the instant of their writing, so that their names are in the
order of time. A file is a compressed list of lines; nothing is ever appended to a file.

- ``journal_files``: write, list and read the files of the journal. Start reading here.
- ``journal_directory``: keep them in a directory, on one machine.
- ``journal_bucket``: keep them in an S3 bucket.
- ``journal_writer``: journal the pages of one sweep of the replicator, and stop at the first fault.
- ``journal_lines``: what a line says of a record, a quarantined item or a delivery.
"""
