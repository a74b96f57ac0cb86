# Verbal aggression of 316 persons in 24 situations (lme4; De Boeck & Wilson 2004): binary, two crossed factors.
source("../peers.R")
source("../generalised.R")
data <- case_data("lme4", "VerbAgg",
  groups = list(id = inside(), item = inside()),
  levels = list(
    r2 = c("N", "Y"), Gender = c("F", "M"), btype = c("curse", "scold", "shout"), situ = c("other", "self"),
    mode = c("want", "do")
  )
)
save_generalised(data, list(
  crossed = by_glmmtmb(data, "r2 ~ Anger + Gender + btype + situ + mode + (1 | id) + (1 | item)", binomial()),
  slopes = by_glmmtmb(data, "r2 ~ Anger + btype + mode + (mode | id) + (1 | item)", binomial())
))
