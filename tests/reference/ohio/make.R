# Wheezing of 537 children at four ages (geepack): most children never wheeze.
source("../peers.R")
source("../generalised.R")
data <- case_data("geepack", "ohio", groups = list(id = inside()))
formula <- "resp ~ age * smoke + (1 | id)"
save_generalised(data, list(
  laplace = by_glmer(data, formula, binomial()),
  points_25 = by_glmer(data, formula, binomial(), 25),
  tmb = by_glmmtmb(data, formula, binomial())
))
