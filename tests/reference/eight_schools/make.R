# Eight schools (Rubin 1981) by metafor: effects with known standard errors.
# Run in this folder: Rscript make.R   (writes expected.json and session.txt)
suppressPackageStartupMessages({library(jsonlite); library(metafor)})
source("../metafor.R")
d <- read.csv("../../../src/nestwise/data/datasets/eight_schools.csv")
save_case(d, "school", "effect", "std_error", list(reml = list(~ 1, "REML"), ml = list(~ 1, "ML")))
