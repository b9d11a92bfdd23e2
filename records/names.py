"""The names of the files in a result folder, and the columns that every metrics.csv has."""

RECORD = "hyperparameters.json"  # of a run: its options, and what it was started by
METRICS = "metrics.csv"  # of a training, a row per epoch and method
COLUMNS = ["epoch", "method", "train_error", "test_error", "loss", "seconds"]  # of metrics.csv
ARRAYS = "results.npz"  # behind the figures
CHECKPOINT = "checkpoint.pt"  # of a training, enough to go on
LOCK = "lock"  # of a run that is being trained; names the process
PLAN = "runs.json"  # of a folder of many runs
SUMMARY = "summary.csv"  # of a folder of many runs, a row per run and method
