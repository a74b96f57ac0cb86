# Fourteen groups of 1 to 300 observations with slopes, simulated (seed 2): strongly unbalanced.
source("../peers.R")
if (!file.exists("data.csv")) {
  set.seed(2)
  sizes <- c(1, 1, 1, 2, 2, 3, 4, 5, 8, 12, 20, 40, 120, 300)
  g <- rep(seq_along(sizes), sizes)
  n <- length(g)
  x <- round(rnorm(n, mean = rnorm(14)[g]), 3)
  b <- MASS::mvrnorm(14, c(0, 0), matrix(c(4, -0.9, -0.9, 0.5), 2))
  y <- round(10 + b[g, 1] + (1 + b[g, 2]) * x + rnorm(n, sd = 2), 3)
  write.csv(data.frame(y, x, g), "data.csv", row.names = FALSE, quote = FALSE)
}
data <- case_data(groups = list(g = inside()))
save_case(data, list(
  intercepts = peer(data, "y ~ x + (1 | g)", profile = TRUE),
  slopes = peer(data, "y ~ x + (x | g)", kr = TRUE),
  slopes_ml = peer(data, "y ~ x + (x | g)", reml = FALSE),
  uncorrelated = peer(data, "y ~ x + (x || g)")
))
