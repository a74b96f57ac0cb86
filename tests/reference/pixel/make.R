# Pixel intensities of both sides of ten dogs (nlme): slopes on the outer factor, intercepts on the inner.
source("../peers.R")
data <- case_data("nlme", "Pixel", groups = list(Dog = inside(), Side = inside("Dog")))
save_case(data, list(
  slopes = peer(data, "pixel ~ day + I(day^2) + (day | Dog) + (1 | Dog:Side)", kr = TRUE),
  intercepts = peer(data, "pixel ~ day + I(day^2) + (1 | Dog/Side)")
))
