"""Invoices and credit notes as data that accounting systems read: EN 16931 as CII and as UBL."""
