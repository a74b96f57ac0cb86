# One generalised model: engine (glmer, glmmTMB), data file, formula, factors (by commas), family. Prints JSON.
given <- commandArgs(trailingOnly = TRUE)
engine <- given[1]
suppressMessages(library(if (engine == "glmer") "lme4" else "glmmTMB", character.only = TRUE))
data <- read.csv(given[2], stringsAsFactors = TRUE)
for (name in strsplit(given[4], ",")[[1]]) data[[name]] <- factor(data[[name]])
formula <- as.formula(given[3])
family <- get(given[5])()
took <- system.time({
  model <- if (engine == "glmer") glmer(formula, data, family) else glmmTMB(formula, data, family)
  vcov(model)
  ranef(model)
})[[3]]
cat(sprintf('\n{"time": %f, "log_likelihood": %.10f}\n', took, as.numeric(logLik(model))))
