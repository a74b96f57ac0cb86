# Trials of a vaccine against tuberculosis (Colditz et al. 1994, dat.bcg of metadat): log risk ratios.
# Run in this folder: Rscript make.R   (writes data.csv, expected.json and session.txt)
suppressPackageStartupMessages({library(jsonlite); library(metafor)})
source("../metafor.R")
made <- escalc(measure = "RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg)
d <- data.frame(trial = made$trial, latitude = made$ablat, log_rr = as.numeric(made$yi), std_error = sqrt(as.numeric(made$vi)))
write.csv(format(d, digits = 15, trim = TRUE), "data.csv", row.names = FALSE, quote = FALSE)
d <- read.csv("data.csv")
save_case(d, "trial", "log_rr", "std_error",
          list(reml = list(~ 1, "REML"), ml = list(~ 1, "ML"), latitude = list(~ latitude, "REML")))
