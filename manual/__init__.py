"""What people are told about the options: pages of --help, and what a misspelt name may be."""
