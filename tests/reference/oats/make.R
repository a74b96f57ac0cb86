# Yates' split plots (nlme): nitrogen within varieties within blocks.
source("../peers.R")
data <- case_data(
  "nlme", "Oats",
  groups = list(Block = inside()), levels = list(Variety = c("Golden Rain", "Marvellous", "Victory"))
)
save_case(data, list(
  nested = peer(data, "yield ~ nitro + (1 | Block/Variety)", kr = TRUE),
  varieties = peer(data, "yield ~ nitro * Variety + (1 | Block/Variety)", kr = TRUE),
  nested_ml = peer(data, "yield ~ nitro + Variety + (1 | Block/Variety)", reml = FALSE, profile = TRUE)
))
