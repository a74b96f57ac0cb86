# Weights of 50 chicks (datasets): gamma with a logarithm.
source("../peers.R")
source("../generalised.R")
data <- case_data("datasets", "ChickWeight", groups = list(Chick = inside()), levels = list(Diet = c("1", "2", "3", "4")))
save_generalised(data, list(
  intercepts = by_glmmtmb(data, "weight ~ Time + Diet + (1 | Chick)", Gamma("log")),
  # from its own start it stops at an SD of 0, log-likelihood -2322.92 instead of -2315.56
  slopes = by_glmmtmb(data, "weight ~ Time + Diet + (Time | Chick)", Gamma("log"),
    start = list(theta = c(-3, -4, -1))
  )
))
