"""Names and tables as people see them: on a terminal, on a page, in a spreadsheet."""
