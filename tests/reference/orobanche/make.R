# Germination of orobanche seeds on 21 plates (aod::orob2 with a number for each plate; Crowder 1978, Breslow & Clayton 1993): as many groups as rows.
source("../peers.R")
source("../generalised.R")
data <- case_data(groups = list(plate = inside()))
formula <- "cbind(y, n - y) ~ seed * root + (1 | plate)"
save_generalised(data, list(
  laplace = by_glmer(data, formula, binomial()),
  points_25 = by_glmer(data, formula, binomial(), 25),
  tmb = by_glmmtmb(data, formula, binomial())
))
