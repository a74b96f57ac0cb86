# One model twice: engine (lmer, lmerTest, gls), data file, formula, factors (by commas), limit. Prints JSON.
given <- commandArgs(trailingOnly = TRUE)
engine <- given[1]
package <- c(lmer = "lme4", lmerTest = "lmerTest", gls = "nlme")[[engine]]
suppressMessages(library(package, character.only = TRUE))
data <- read.csv(given[2], stringsAsFactors = TRUE)
for (name in strsplit(given[4], ",")[[1]]) data[[name]] <- factor(data[[name]])
formula <- as.formula(given[3])
fit <- switch(engine,
  lmer = function() { # estimates, standard errors, BLUPs
    model <- lme4::lmer(formula, data)
    vcov(model)
    lme4::ranef(model, condVar = FALSE)
    model
  },
  lmerTest = function() { # and Satterthwaite's degrees of freedom
    model <- lmerTest::lmer(formula, data)
    summary(model)
    lme4::ranef(model, condVar = FALSE)
    model
  },
  gls = function() { # an unstructured covariance over the visits
    data$place <- as.integer(data$visit)
    nlme::gls(formula, data,
      correlation = nlme::corSymm(form = ~ place | id), weights = nlme::varIdent(form = ~ 1 | visit),
      control = nlme::glsControl(maxIter = 500, msMaxIter = 500)
    )
  }
)
first <- system.time(model <- fit())[[3]]
second <- if (first < as.numeric(given[5])) system.time(fit())[[3]] else NA
cat(sprintf(
  '\n{"first": %f, "second": %s, "log_likelihood": %.10f, "version": "%s %s, R %s.%s"}\n', first,
  if (is.na(second)) "null" else sprintf("%f", second), as.numeric(logLik(model)),
  package, as.character(packageVersion(package)), R.version$major, R.version$minor
))
