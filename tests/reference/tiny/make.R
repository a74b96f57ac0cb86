# Eleven observations in four groups, simulated (seed 1, R's default generator): the smallest sensible study.
source("../peers.R")
if (!file.exists("data.csv")) {
  set.seed(1)
  g <- rep(c("a", "b", "c", "d"), c(4, 3, 2, 2))
  x <- round(rnorm(11), 3)
  y <- round(2 + 0.5 * x + rnorm(4, sd = 1.5)[match(g, letters)] + rnorm(11, sd = 0.6), 3)
  write.csv(data.frame(y, x, g), "data.csv", row.names = FALSE, quote = FALSE)
}
data <- case_data(groups = list(g = inside()))
save_case(data, list(
  reml = peer(data, "y ~ x + (1 | g)", kr = TRUE),
  ml = peer(data, "y ~ x + (1 | g)", reml = FALSE, profile = TRUE)
))
