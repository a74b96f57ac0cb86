# Ticks on the heads of red grouse chicks (lme4; Elston et al. 2001): counts that spread far more than Poisson's.
source("../peers.R")
source("../generalised.R")
data <- case_data("lme4", "grouseticks",
  groups = list(BROOD = inside(), LOCATION = inside(), INDEX = inside()),
  levels = list(YEAR = c("95", "96", "97")),
  derive = list(list(center = "HEIGHT", at = 450, as = "height"))
)
formula <- "TICKS ~ YEAR + height + (1 | BROOD)"
save_generalised(data, list(
  laplace = by_glmer(data, formula, poisson()),
  points_25 = by_glmer(data, formula, poisson(), 25),
  negative_binomial = by_glmmtmb(data, formula, nbinom2(), "nbinom2"),
  three_factors = by_glmmtmb(data, "TICKS ~ YEAR + height + (1 | LOCATION) + (1 | BROOD) + (1 | INDEX)", poisson())
))
