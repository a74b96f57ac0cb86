# Heights of 26 boys from Oxford (nlme): straight and bent growth, slopes nearly without noise.
source("../peers.R")
data <- case_data("nlme", "Oxboys", groups = list(Subject = inside()))
save_case(data, list(
  slopes = peer(data, "height ~ age + (age | Subject)", kr = TRUE),
  quadratic = peer(data, "height ~ age + I(age^2) + (age + I(age^2) | Subject)"),
  slopes_ml = peer(data, "height ~ age + (age | Subject)", reml = FALSE, profile = TRUE)
))
