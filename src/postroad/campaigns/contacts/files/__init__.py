"""Files of contacts as people have them: charsets, rows, tables, workbooks. No database here."""
