# Radon in 85 Minnesota counties (HLMdiag): Gelman & Hill, chapter 12.
source("../peers.R")
data <- case_data("HLMdiag", "radon", groups = list(county = inside()))
fit <- function(formula, ...) peer(data, formula, ...)
models <- list(
  empty = fit("log.radon ~ 1 + (1 | county)", profile = TRUE),
  intercepts = fit("log.radon ~ basement + (1 | county)", profile = TRUE, kr = TRUE),
  uranium = fit("log.radon ~ basement + uranium + (1 | county)"),
  slopes = fit("log.radon ~ basement + (basement | county)"),
  slopes_uranium = fit("log.radon ~ basement + uranium + (basement | county)", kr = TRUE),
  cross_level = fit("log.radon ~ basement * uranium + (basement | county)"),
  cross_level_ml = fit("log.radon ~ basement * uranium + (basement | county)", reml = FALSE),
  uncorrelated = fit("log.radon ~ basement + uranium + (basement || county)")
)
save_case(data, models,
  complete_pooling = list(
    intercepts = complete_pooling(data, "log.radon ~ basement", "county"),
    uranium = complete_pooling(data, "log.radon ~ basement + uranium", "county")
  ),
  no_pooling = list(intercepts = no_pooling(data, "log.radon ~ 0 + county + basement", "county"))
)
