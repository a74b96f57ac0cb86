# Weights of 16 rats on three diets (nlme): interaction with the groups' arm, unequal times.
source("../peers.R")
data <- case_data("nlme", "BodyWeight", groups = list(Rat = inside()), levels = list(Diet = c("1", "2", "3")))
save_case(data, list(
  slopes = peer(data, "weight ~ Time * Diet + (Time | Rat)", kr = TRUE),
  independent = peer(data, "weight ~ Time * Diet + (Time || Rat)")
))
