# Haemophilus influenzae in 50 children on three treatments (MASS; Venables & Ripley 2002, section 10.4).
source("../peers.R")
source("../generalised.R")
data <- case_data("MASS", "bacteria", groups = list(ID = inside()), levels = list(y = c("n", "y"), trt = c("placebo", "drug", "drug+")))
formula <- "y ~ trt + week + (1 | ID)"
save_generalised(data, list(
  laplace = by_glmer(data, formula, binomial()),
  points_25 = by_glmer(data, formula, binomial(), 25)
))
