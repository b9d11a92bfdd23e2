"""The report over result folders: read, sorted beside the papers, laid out as page and tables."""
