# Breaking angles of cakes (lme4): batches of a recipe, replicates numbered within it.
source("../peers.R")
data <- case_data("lme4", "cake", groups = list(replicate = inside()), levels = list(recipe = c("A", "B", "C")))
save_case(data, list(
  batches = peer(data, "angle ~ recipe * temp + (1 | recipe:replicate)", kr = TRUE),
  nested = peer(data, "angle ~ recipe + temp + (1 | replicate) + (1 | recipe:replicate)"),
  slopes = peer(data, "angle ~ recipe + temp + (temp | replicate) + (1 | recipe:replicate)")
))
