cat(commandArgs(trailingOnly = TRUE))
