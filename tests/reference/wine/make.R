# Bitterness of wine by nine judges (ordinal; Randall 1989): a cumulative model.
source("../peers.R")
source("../generalised.R")
data <- case_data("ordinal", "wine",
  groups = list(judge = inside()),
  levels = list(rating = c("1", "2", "3", "4", "5"), temp = c("cold", "warm"), contact = c("no", "yes"))
)
formula <- "rating ~ temp + contact + (1 | judge)"
save_generalised(data, list(
  laplace = by_clmm(data, formula),
  points_9 = by_clmm(data, formula, points = 9),
  points_15 = by_clmm(data, formula, points = 15),
  probit = by_clmm(data, formula, link = "probit", points = 15)
))
