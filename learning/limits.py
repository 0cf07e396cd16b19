"""What settings and kernels must agree about; settings are read where no kernel runs."""

#: A bin's number is one byte; the last bin of each feature is for missing values.
MAX_BINS = 256
