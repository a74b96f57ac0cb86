# Diameters of growth inhibition, six samples on 24 plates (lme4): two factors, fully crossed, no replicates.
source("../peers.R")
data <- case_data("lme4", "Penicillin", groups = list(plate = inside(), sample = inside()))
save_case(data, list(
  crossed = peer(data, "diameter ~ 1 + (1 | plate) + (1 | sample)", kr = TRUE),
  crossed_ml = peer(data, "diameter ~ 1 + (1 | plate) + (1 | sample)", reml = FALSE, profile = TRUE)
))
