# Weights of 72 pigs over twelve weeks (geepack): growth with a strong slope correlation.
source("../peers.R")
data <- case_data("geepack", "dietox", groups = list(Pig = inside()), levels = list(Cu = c("Cu000", "Cu035", "Cu175")))
save_case(data, list(
  growth = peer(data, "Weight ~ Time + (Time | Pig)"),
  copper = peer(data, "Weight ~ Time * Cu + (Time | Pig)"),
  copper_ml = peer(data, "Weight ~ Time * Cu + (Time | Pig)", reml = FALSE)
))
