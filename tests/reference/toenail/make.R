# Toenail dermatophyte trial (De Backer et al. 1998; data of mice::toenail): a random intercept so large that
# Laplace's approximation, and few points, fail (Lesaffre & Spiessens 2001).
source("../peers.R")
source("../generalised.R")
data <- case_data(groups = list(ID = inside()))
formula <- "outcome ~ treatment * month + (1 | ID)"
save_generalised(data, list(
  laplace = by_glmer(data, formula, binomial()),
  points_9 = by_glmer(data, formula, binomial(), 9),
  points_25 = by_glmer(data, formula, binomial(), 25),
  points_51 = by_glmer(data, formula, binomial(), 51),
  tmb = by_glmmtmb(data, formula, binomial())
))
