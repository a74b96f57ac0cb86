# Contagious bovine pleuropneumonia in 15 herds (lme4): successes and failures, few groups.
source("../peers.R")
source("../generalised.R")
data <- case_data("lme4", "cbpp", groups = list(herd = inside()), levels = list(period = c("1", "2", "3", "4")))
formula <- "cbind(incidence, size - incidence) ~ period + (1 | herd)"
save_generalised(data, list(
  laplace = by_glmer(data, formula, binomial()),
  points_25 = by_glmer(data, formula, binomial(), 25),
  tmb = by_glmmtmb(data, formula, binomial()),
  probit = by_glmer(data, formula, binomial("probit"), 25),
  probit_tmb = by_glmmtmb(data, formula, binomial("probit")),
  cloglog = by_glmer(data, formula, binomial("cloglog"), 25),
  cloglog_tmb = by_glmmtmb(data, formula, binomial("cloglog"))
))
