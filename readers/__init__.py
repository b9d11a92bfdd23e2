"""How the files of a data set become tensors: a reader per kind of file."""
