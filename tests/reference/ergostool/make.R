# Effort to rise from four stools (nlme): a balanced randomised block design, nine subjects.
source("../peers.R")
data <- case_data("nlme", "ergoStool", groups = list(Subject = inside()), levels = list(Type = c("T1", "T2", "T3", "T4")))
save_case(data, list(
  blocks = peer(data, "effort ~ Type + (1 | Subject)", kr = TRUE, profile = TRUE),
  crossed = peer(data, "effort ~ 1 + (1 | Subject) + (1 | Type)", kr = TRUE)
))
