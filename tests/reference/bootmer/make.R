# The parametric bootstrap of lme4: its distribution, with order statistics that bracket each interval end
# with 99.9% confidence, so that another program's ends can be held against it.
source("../peers.R")

sets <- 2000

brackets <- function(values, probability) {
  values <- sort(values)
  ranks <- qbinom(c(0.0005, 0.9995), length(values), probability)
  list(
    value = unname(quantile(values, probability)),
    low = values[max(ranks[1], 1)], high = values[min(ranks[2] + 1, length(values))]
  )
}

quantities <- function(fit) {
  table <- as.data.frame(VarCorr(fit))
  names <- ifelse(table$grp == "Residual", "sigma",
    ifelse(is.na(table$var2), paste("sd", table$grp, table$var1), paste("cor", table$grp, paste(table$var1, table$var2, sep = ":")))
  )
  c(setNames(fixef(fit), paste("fixed", names(fixef(fit)))), setNames(table$sdcor, names))
}

bootstrapped <- function(data, formula) {
  fit <- lme4::lmer(as.formula(formula), data = data$frame)
  draws <- suppressMessages(suppressWarnings(bootMer(fit, quantities, nsim = sets, seed = 20240229)))
  one <- function(name) {
    values <- draws$t[, name]
    values <- values[is.finite(values)]
    list(
      name = name, n = length(values), mean = mean(values), sd = sd(values),
      lower = brackets(values, 0.025), upper = brackets(values, 0.975)
    )
  }
  list(formula = formula, sets = sets, quantities = lapply(colnames(draws$t), one))
}

sleepstudy <- case_data("lme4", "sleepstudy", groups = list(Subject = inside()))
penicillin <- case_data("lme4", "Penicillin", groups = list(plate = inside(), sample = inside()))
pastes <- case_data("lme4", "Pastes", groups = list(batch = inside(), sample = inside("batch")))
write_json(
  list(
    source = paste("make.R in this folder, run with", R.version.string),
    versions = list(lme4 = as.character(packageVersion("lme4"))),
    sleepstudy = bootstrapped(sleepstudy, "Reaction ~ Days + (Days | Subject)"),
    pastes = bootstrapped(pastes, "strength ~ 1 + (1 | batch) + (1 | sample)"),
    penicillin = bootstrapped(penicillin, "diameter ~ 1 + (1 | plate) + (1 | sample)")
  ),
  "expected.json", auto_unbox = TRUE, digits = NA, pretty = TRUE
)
writeLines(capture.output(sessionInfo()), "session.txt")
