# Mathematics in 160 American high schools (mlmRev): slopes with cross-level interactions.
source("../peers.R")
data <- case_data("mlmRev", "Hsb82", groups = list(school = inside()), levels = list(sector = c("Public", "Catholic")))
save_case(data, list(
  slopes = peer(data, "mAch ~ meanses * cses + sector * cses + (cses | school)"),
  intercepts = peer(data, "mAch ~ meanses + sector + (1 | school)", reml = FALSE, profile = TRUE)
))
