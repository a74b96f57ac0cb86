# Oxide on wafers within lots of two sources (nlme): nested, eight lots.
source("../peers.R")
data <- case_data(
  "nlme", "Oxide",
  groups = list(Lot = inside(), Wafer = inside("Lot")), levels = list(Source = c("1", "2"))
)
save_case(data, list(
  nested = peer(data, "Thickness ~ 1 + (1 | Lot/Wafer)", kr = TRUE),
  sources = peer(data, "Thickness ~ Source + (1 | Lot/Wafer)", kr = TRUE)
))
