# Seizures of 59 epileptics (MASS): counts, Poisson and negative binomial.
source("../peers.R")
source("../generalised.R")
data <- case_data("MASS", "epil",
  groups = list(subject = inside()), levels = list(trt = c("placebo", "progabide"))
)
formula <- "y ~ log(base / 4) * trt + log(age) + V4 + (1 | subject)"
save_generalised(data, list(
  laplace = by_glmer(data, formula, poisson()),
  points_25 = by_glmer(data, formula, poisson(), 25),
  tmb = by_glmmtmb(data, formula, poisson()),
  slopes = by_glmer(data, "y ~ log(base / 4) * trt + log(age) + V4 + (V4 | subject)", poisson()),
  negative_binomial = by_glmmtmb(data, formula, nbinom2(), "nbinom2")
))
