# Jaw distances of 27 children at four ages (nlme).
source("../peers.R")
data <- case_data("nlme", "Orthodont", groups = list(Subject = inside()), levels = list(Sex = c("Male", "Female")))
save_case(data, list(
  reml = peer(data, "distance ~ age + (age | Subject)", kr = TRUE),
  ml = peer(data, "distance ~ age + (age | Subject)", reml = FALSE),
  sex = peer(data, "distance ~ age * Sex + (age | Subject)", kr = TRUE),
  sex_intercepts = peer(data, "distance ~ age * Sex + (1 | Subject)", profile = TRUE)
))
