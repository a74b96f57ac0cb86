# One model by lmer, twice: data file, fixed part, group, random part. Prints a line of JSON.
suppressMessages(library(lme4))
given <- commandArgs(trailingOnly = TRUE)
data <- read.csv(given[1])
formula <- as.formula(sprintf("%s + (%s | %s)", given[2], given[4], given[3]))
first <- system.time(model <- lmer(formula, data))[[3]]
second <- if (first < as.numeric(given[5])) system.time(lmer(formula, data))[[3]] else NA
cat(sprintf('\n{"first": %f, "second": %s, "log_likelihood": %.10f, "version": "lme4 %s, R %s.%s"}\n', first,
  if (is.na(second)) "null" else sprintf("%f", second), as.numeric(logLik(model)),
  as.character(packageVersion("lme4")), R.version$major, R.version$minor))
