"""From showback to the general ledger: statements, disputes, corrections, journal batches."""
