# Breaking angles of cakes (lme4): batches of a recipe, replicates numbered within it.
# Temperatures are centred: at 175 to 225 degrees lme4 stops 1e-4 below the optimum of the varying slopes.
source("../peers.R")
data <- case_data(
  "lme4", "cake",
  groups = list(replicate = inside()), levels = list(recipe = c("A", "B", "C")),
  derive = list(list(center = "temp", at = 200, as = "heat"))
)
save_case(data, list(
  batches = peer(data, "angle ~ recipe * heat + (1 | recipe:replicate)", kr = TRUE),
  nested = peer(data, "angle ~ recipe + temp + (1 | replicate) + (1 | recipe:replicate)"),
  slopes = peer(data, "angle ~ recipe + heat + (heat | replicate) + (1 | recipe:replicate)")
))
