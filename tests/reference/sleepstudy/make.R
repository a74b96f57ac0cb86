# Reaction times over ten days of sleep deprivation (lme4): growth curves.
source("../peers.R")
data <- case_data("lme4", "sleepstudy", groups = list(Subject = inside()))
fit <- function(formula, ...) peer(data, formula, ...)
models <- list(
  reml = fit("Reaction ~ Days + (Days | Subject)", kr = TRUE),
  ml = fit("Reaction ~ Days + (Days | Subject)", reml = FALSE, profile = TRUE),
  independent = fit("Reaction ~ Days + (Days || Subject)", kr = TRUE),
  intercepts = fit("Reaction ~ Days + (1 | Subject)"),
  intercepts_ml = fit("Reaction ~ Days + (1 | Subject)", reml = FALSE, profile = TRUE),
  slope_only = fit("Reaction ~ Days + (0 + Days | Subject)"),
  quadratic = fit("Reaction ~ Days + I(Days^2) + (Days | Subject)")
)
save_case(data, models,
  complete_pooling = list(line = complete_pooling(data, "Reaction ~ Days", "Subject")),
  no_pooling = list(line = no_pooling(data, "Reaction ~ 0 + Subject + Days", "Subject")),
  group_regressions = list(line = group_regressions(data, "Reaction ~ Days", "Subject")),
  variance_tests = list(slope = variance_test(models$intercepts_ml, models$ml, q = 1))
)
