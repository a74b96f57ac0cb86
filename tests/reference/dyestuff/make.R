# Yield of six batches of dyestuff (lme4): few groups, balanced.
source("../peers.R")
data <- case_data("lme4", "Dyestuff", groups = list(Batch = inside()))
models <- list(
  ml = peer(data, "Yield ~ 1 + (1 | Batch)", reml = FALSE, profile = TRUE),
  reml = peer(data, "Yield ~ 1 + (1 | Batch)", kr = TRUE)
)
alone <- lm(Yield ~ 1, data = data$frame)
alone <- list(formula = "Yield ~ 1", log_likelihood = as.numeric(logLik(alone)))
save_case(data, models, variance_tests = list(batch = variance_test(alone, models$ml, q = 0)))
