# 12 x 9 groups, a third of the cells empty, 0 to 4 rows a cell, simulated (seed 3): partially crossed with
# slopes on one factor, weights from 0.2 to 5 and an offset.
source("../peers.R")
if (!file.exists("data.csv")) {
  set.seed(3)
  cells <- expand.grid(a = 1:12, b = 1:9)
  cells <- cells[runif(nrow(cells)) > 1 / 3, ]
  rows <- cells[rep(seq_len(nrow(cells)), sample(1:4, nrow(cells), TRUE)), ]
  n <- nrow(rows)
  x <- round(rnorm(n), 3)
  known <- round(runif(n), 3)
  w <- round(exp(runif(n, log(0.2), log(5))), 3)
  slopes <- MASS::mvrnorm(12, c(0, 0), matrix(c(1, 0.3, 0.3, 0.5), 2))
  y <- 3 + known + (0.8 + slopes[rows$a, 2]) * x + slopes[rows$a, 1] + rnorm(9, sd = 0.8)[rows$b] + rnorm(n) / sqrt(w)
  write.csv(data.frame(y = round(y, 3), x, known, w, a = rows$a, b = rows$b), "data.csv", row.names = FALSE, quote = FALSE)
}
data <- case_data(groups = list(a = inside(), b = inside()))
save_case(data, list(
  slopes = peer(data, "y ~ x + (x | a) + (1 | b)", kr = TRUE),
  slopes_ml = peer(data, "y ~ x + (x | a) + (1 | b)", reml = FALSE, profile = TRUE),
  both = peer(data, "y ~ x + (x | a) + (x | b)"),
  independent = peer(data, "y ~ x + (x || a) + (x || b)"),
  three = peer(data, "y ~ x + (1 | a) + (1 | b) + (1 | a:b)"),
  offset = peer(data, "y ~ x + offset(known) + (1 | a) + (1 | b)"),
  weighted = peer(data, "y ~ x + (x | a) + (1 | b)", weights = "w"),
  weighted_ml = peer(data, "y ~ x + offset(known) + (1 | a) + (1 | b)", reml = FALSE, weights = "w"),
  weighted_one = peer(data, "y ~ x + (x | a)", weights = "w")
))
