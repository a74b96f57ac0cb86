# After the fit, timed alone: task (bootstrap, kr), data file, formula, factors (by commas), refits. Prints JSON.
suppressMessages(library(lmerTest))
given <- commandArgs(trailingOnly = TRUE)
data <- read.csv(given[2], stringsAsFactors = TRUE)
for (name in strsplit(given[4], ",")[[1]]) data[[name]] <- factor(data[[name]])
formula <- as.formula(given[3])
if (given[1] == "bootstrap") {
  model <- lme4::lmer(formula, data)
  quantities <- function(fit) c(lme4::fixef(fit), lme4::getME(fit, "theta"), sigma(fit))
  spent <- system.time(lme4::bootMer(model, quantities, nsim = as.integer(given[5]), seed = 1))[[3]]
  df <- NA
} else {
  model <- lmerTest::lmer(formula, data)
  spent <- system.time(table <- coef(summary(model, ddf = "Kenward-Roger")))[[3]]
  df <- table[2, "df"]
}
cat(sprintf('\n{"seconds": %f, "df": %s}\n', spent, if (is.na(df)) "null" else sprintf("%.6f", df)))
