# Respiratory status of 111 patients at four visits (geepack; Davis 1991): complete, patients' numbers restart
# in the second centre.
source("../peers.R")
source("../generalised.R")
data <- case_data("geepack", "respiratory",
  groups = list(center = inside(), id = inside("center")),
  levels = list(treat = c("P", "A"), sex = c("F", "M"))
)
formula <- "outcome ~ center + treat + sex + age + baseline + (1 | center:id)"
save_generalised(data, list(
  laplace = by_glmer(data, formula, binomial()),
  points_25 = by_glmer(data, formula, binomial(), 25),
  tmb = by_glmmtmb(data, formula, binomial())
))
