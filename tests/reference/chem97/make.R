# Chemistry scores of 31,022 pupils in 2,280 schools of 131 authorities (mlmRev): three levels.
source("../peers.R")
data <- case_data("mlmRev", "Chem97", groups = list(lea = inside(), school = inside("lea")))
save_case(data, list(
  intercepts = peer(data, "score ~ gcsecnt + (1 | lea/school)", quick = TRUE),
  intercepts_ml = peer(data, "score ~ gcsecnt + (1 | lea/school)", reml = FALSE, quick = TRUE),
  slopes = peer(data, "score ~ gcsecnt + gender + (1 | lea) + (gcsecnt | school)", quick = TRUE, df = FALSE)
))
