# Three groups of two (written down, not drawn): the least that a between-group variance can be estimated from.
source("../peers.R")
if (!file.exists("data.csv")) {
  y <- c(1.2, 2.1, 3.9, 4.4, 6.8, 6.1)
  write.csv(data.frame(y, x = c(0, 1, 0, 1, 0, 1), g = rep(c("a", "b", "c"), each = 2)), "data.csv", row.names = FALSE, quote = FALSE)
}
data <- case_data(groups = list(g = inside()))
save_case(data, list(
  mean = peer(data, "y ~ 1 + (1 | g)", kr = TRUE),
  paired = peer(data, "y ~ x + (1 | g)", kr = TRUE),
  mean_ml = peer(data, "y ~ 1 + (1 | g)", reml = FALSE)
))
