# Crossed factors of which one does not vary, and slopes that are a multiple of the intercepts, simulated (seed 4).
source("../peers.R")
if (!file.exists("data.csv")) {
  set.seed(4)
  rows <- expand.grid(a = 1:10, b = 1:6)
  n <- nrow(rows)
  x <- round(rnorm(n), 3)
  effect <- rnorm(10)
  y <- 1 + effect[rows$a] * (1 + x) + rnorm(n, sd = 3)
  write.csv(data.frame(y = round(y, 3), x, a = rows$a, b = rows$b), "data.csv", row.names = FALSE, quote = FALSE)
}
data <- case_data(groups = list(a = inside(), b = inside()))
save_case(data, list(
  intercepts = peer(data, "y ~ x + (1 | a) + (1 | b)"),
  correlation = peer(data, "y ~ x + (x | a)"),
  both = peer(data, "y ~ x + (x | a) + (1 | b)"),
  both_ml = peer(data, "y ~ x + (x | a) + (1 | b)", reml = FALSE)
))
